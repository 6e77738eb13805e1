import ssl

def context(side):
    made = ssl.SSLContext(side)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers("AECDH-AES256-SHA:@SECLEVEL=0")
    return made

a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
server = context(ssl.PROTOCOL_TLS_SERVER).wrap_bio(a, b, server_side=True)
client = context(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(b, a)
sides = [client, server]
for _ in range(10):
    for side in list(sides):
        try:
            side.do_handshake()
            sides.remove(side)
        except ssl.SSLWantReadError:
            pass
client.write(b"a secret")
print(server.read(), client.version(), client.cipher())
