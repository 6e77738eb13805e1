"""Builds an e-mail. It is sent only if a mail server is named, and kept as a file in any case.

A server is reached only if the run may: add its address and port under "Network".
"""

import json
import os
import smtplib
from email.message import EmailMessage
from email.utils import make_msgid

with open(os.environ["AUTOMA_PARAMETERS"], encoding="utf-8") as file:
    parameters = json.load(file)

message = EmailMessage()
message["From"] = parameters["from"]
message["To"] = parameters["to"]
message["Subject"] = parameters["subject"]
message["Message-ID"] = make_msgid(domain="automa.example.com")
message.set_content(parameters["body"])

with open(os.path.join(os.environ["AUTOMA_OUT"], "message.eml"), "wb") as file:
    file.write(message.as_bytes())

server = parameters.get("server", "")
if server:
    with smtplib.SMTP(server, parameters["port"], timeout=20) as smtp:
        smtp.starttls()
        if parameters.get("user"):
            smtp.login(parameters["user"], parameters.get("password", ""))
        smtp.send_message(message)
    print(f"sent to {message['To']} by {server}")
else:
    print(message)
    print("not sent: no server was named")

with open(os.environ["AUTOMA_RESULT"], "w", encoding="utf-8") as file:
    json.dump({"to": message["To"], "subject": message["Subject"], "sent": bool(server)}, file)
