import email.message, email.policy, mimetypes, quopri, urllib.parse, urllib.request

message = email.message.EmailMessage(policy=email.policy.SMTP)
message["Subject"], message["To"] = "Grüße", "ada@example.com"
message.set_content("Text with ünïcode")
message.add_attachment(b"\x00\x01", maintype="application", subtype="octet-stream", filename="a.bin")
message.set_boundary("boundary")
print(message.as_string())
print(urllib.parse.urlsplit("https://user@example.com:8443/a?b=c#d"), urllib.parse.quote("ä b"))
open("local.txt", "w").write("by URL")
print(urllib.request.urlopen("file:///proc/self/cwd/local.txt").read(), mimetypes.guess_type("x.html"))
urllib.request.urlopen("nonsense:thing")
