# env: PYTHONDEVMODE=1
import asyncio, sys, warnings

print(sys.flags.dev_mode, sys.warnoptions, asyncio.run(asyncio.sleep(0, "done")))
open("script.py")
