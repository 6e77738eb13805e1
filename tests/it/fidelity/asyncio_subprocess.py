import asyncio

async def main():
    process = await asyncio.create_subprocess_exec(
        "tr", "a-z", "A-Z", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    print(await process.communicate(b"several words\n"), process.returncode)
    process = await asyncio.create_subprocess_shell("echo out; echo err >&2; exit 3")
    print(await process.wait())

asyncio.run(main())
