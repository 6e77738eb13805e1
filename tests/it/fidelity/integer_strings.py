import sys

print(sys.get_int_max_str_digits(), sys.int_info.bits_per_digit)
print(int("1" * 5000))
