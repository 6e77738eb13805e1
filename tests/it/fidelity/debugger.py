# stdin: "p value\nw\nnext\np value\ncontinue\n"
import pdb

def compute():
    value = 1
    pdb.set_trace()
    value += 1
    return value

print(compute())
