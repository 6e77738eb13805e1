import os

actions = [(os.POSIX_SPAWN_OPEN, 1, "out", os.O_CREAT | os.O_WRONLY, 0o600)]
pid = os.posix_spawn("/bin/echo", ["echo", "to a file"], os.environ, file_actions=actions)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), open("out").read())
print(os.spawnlp(os.P_WAIT, "false", "false"))
pipe = os.popen("echo popen; exit 2")
print(pipe.read(), pipe.close())
