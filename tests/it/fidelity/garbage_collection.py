import gc

class Node:
    pass

def cycles():
    for _ in range(100):
        node = Node()
        node.self = node

gc.collect()
cycles()
print(gc.collect(), gc.isenabled(), gc.get_threshold(), gc.get_debug())
gc.disable()
cycles()
print(gc.collect(), gc.is_tracked([]), len(gc.get_referrers(Node)) > 0)
