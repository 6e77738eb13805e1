import asyncio, socket

async def main():
    left, right = socket.socketpair()
    reader, _ = await asyncio.open_connection(sock=left)
    _, writer = await asyncio.open_connection(sock=right)
    writer.write(b"line one\nline two\n")
    writer.close()
    async for line in reader:
        print(line)
    print(await asyncio.to_thread(sum, [1, 2, 3]))
    async with asyncio.Semaphore(1):
        queue = asyncio.Queue()
        await queue.put("queued")
        print(await queue.get())

asyncio.run(main())
