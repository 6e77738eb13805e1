import asyncio

async def work(number):
    await asyncio.sleep(0.001 * number)
    return number * number

async def main():
    print(await asyncio.gather(*(work(n) for n in range(10))))
    async with asyncio.TaskGroup() if hasattr(asyncio, "TaskGroup") else asyncio.timeout(5) as group:
        task = group.create_task(work(3))
    print(task.result())

asyncio.run(main())
