import asyncio

async def background():
    try:
        await asyncio.sleep(1000)
    finally:
        print("cancelled with the loop")

async def main():
    task = asyncio.create_task(background())
    await asyncio.sleep(0)
    print("main returns", task.done())

asyncio.run(main())
