import datetime, time

print(time.tzname, time.timezone, time.daylight, datetime.datetime.fromtimestamp(0))
before = time.monotonic()
time.sleep(0.001)
print(time.monotonic() > before, time.process_time() > 0, time.time() > 1_600_000_000)
print(time.get_clock_info("monotonic").implementation)
