import asyncio, gc

async def fails():
    raise ValueError("nobody asks")

async def main():
    asyncio.create_task(fails(), name="failing")
    await asyncio.sleep(0)
    gc.collect()

asyncio.run(main())
