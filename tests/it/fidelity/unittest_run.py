import io, unittest

class Test(unittest.TestCase):
    def test_passes(self):
        self.assertEqual(1 + 1, 2)
    def test_fails(self):
        self.assertEqual([1, 2], [1, 3])
    @unittest.skip("not today")
    def test_skipped(self):
        pass
    def test_parts(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertNotEqual(number, 1)

stream = io.StringIO()
suite = unittest.defaultTestLoader.loadTestsFromTestCase(Test)
result = unittest.TextTestRunner(stream, verbosity=2).run(suite)
print(stream.getvalue().split("\nRan 4 tests")[0], result)
