import decimal, fractions, math, random, statistics, struct, array, cmath

print(decimal.Decimal(1) / 7, decimal.getcontext(), fractions.Fraction(0.75))
print(0.1 + 0.2, 1e308 * 10, -0.0, 2**100, 7 // -2, -7 % 3, round(2.5), math.pi, cmath.sqrt(-1))
random.seed(42)
print(random.random(), random.sample(range(100), 5), random.choice("abc"), random.gauss(0, 1))
print(statistics.stdev([1, 2, 4]), struct.pack("<ihq", 1, 2, 3), array.array("d", [1.5]).tobytes())
print(math.factorial(20), math.isclose(0.3, 0.1 + 0.2), f"{1234567.891:,.2f} {255:#x} {3:>5}|")
print(int("9" * 5000))
