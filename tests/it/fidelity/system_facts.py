import getpass, os, platform, sys, sysconfig

print(platform.system(), platform.machine(), platform.python_version(), platform.libc_ver())
print(os.cpu_count(), len(os.sched_getaffinity(0)), os.sysconf("SC_PAGE_SIZE"), sys.maxsize)
print(getpass.getuser(), os.getpriority(os.PRIO_PROCESS, 0), os.sep, sys.byteorder)
print(sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sys.implementation.name)
print(os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid(), os.isatty(0), os.ctermid())
print(sys.version, sys.hexversion, sys.float_info.max, sys.hash_info.width)
