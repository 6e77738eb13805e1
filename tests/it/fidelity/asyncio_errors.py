import asyncio

async def fails():
    raise ValueError("from a task")

async def main():
    try:
        await asyncio.wait_for(asyncio.sleep(1000), 0.001)
    except asyncio.TimeoutError as error:
        print("timeout", repr(error))
    task = asyncio.create_task(asyncio.sleep(1000))
    task.cancel()
    print(await asyncio.gather(task, fails(), return_exceptions=True))
    await fails()

asyncio.run(main())
