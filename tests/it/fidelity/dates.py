# env: TZ=Europe/Berlin
import calendar, datetime, time, zoneinfo

moment = datetime.datetime(2024, 3, 31, 1, 30, tzinfo=datetime.timezone.utc)
print(moment.astimezone(), moment.isoformat(), moment.timestamp(), time.tzname, time.timezone)
print(time.strftime("%A %d %B %Y %H:%M %Z", time.localtime(1_700_000_000)))
print(calendar.month(2024, 2), datetime.date.fromisocalendar(2024, 1, 1))
print(datetime.datetime.strptime("3 Feb 2021", "%d %b %Y"), datetime.timedelta(days=-1, seconds=5))
print(len(zoneinfo.available_timezones()) > 0, zoneinfo.ZoneInfo("Asia/Tokyo").utcoffset(moment))
