import cProfile, io, pstats, timeit

def work():
    return sum(range(1000))

profile = cProfile.Profile()
profile.runcall(work)
stats = pstats.Stats(profile, stream=io.StringIO())
print(sorted((name[2], calls[0]) for name, calls in stats.stats.items()))
print(timeit.timeit("1 + 1", number=10) > 0)
