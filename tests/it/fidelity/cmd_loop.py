# stdin: "greet ada\nnonsense\nhelp\nEOF\n"
import cmd

class Shell(cmd.Cmd):
    prompt = "> "
    def do_greet(self, name):
        """Greets."""
        print("hello", name)
    def do_EOF(self, _):
        return True

Shell().cmdloop("begin")
