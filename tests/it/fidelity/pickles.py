import copy, pickle

class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y
    def __repr__(self):
        return f"Point({self.x}, {self.y})"

print(pickle.loads(pickle.dumps(Point(1, [2]))), pickle.dumps(Point(1, 2), 0))
print(copy.deepcopy({"a": Point(3, 4)}))
pickle.dumps(lambda: 1)
