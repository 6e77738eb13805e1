import gc, signal, site, sys, threading

print(sys.flags)
print(sys.warnoptions, sys._xoptions, sys.getrecursionlimit(), sys.getswitchinterval())
print(sys.executable, sys.prefix, sys.exec_prefix, sys.base_prefix, sys.platlibdir)
print(sys.gettrace(), sys.getprofile(), sys.excepthook is sys.__excepthook__)
print(sys.displayhook is sys.__displayhook__, sys.unraisablehook is sys.__unraisablehook__)
print([getattr(one, "__name__", type(one).__name__) for one in sys.meta_path], len(sys.path_hooks))
print([one.name for one in threading.enumerate()], threading.current_thread() is threading.main_thread())
print(gc.isenabled(), gc.get_threshold(), gc.garbage, gc.callbacks)
print(site.ENABLE_USER_SITE, site.USER_SITE, site.USER_BASE, site.PREFIXES)
print(sys.dont_write_bytecode, sys.pycache_prefix, hasattr(sys, "ps1"), hasattr(sys, "last_value"))
print(signal.get_wakeup_fd() if hasattr(signal, "get_wakeup_fd") else signal.set_wakeup_fd(-1))
