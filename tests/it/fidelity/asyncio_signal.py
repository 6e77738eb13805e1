import asyncio, os, signal

async def main():
    loop = asyncio.get_running_loop()
    seen = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, seen.set)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(seen.wait(), 30)
    print("seen")

asyncio.run(main())
