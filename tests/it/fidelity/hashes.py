import base64, binascii, hashlib, hmac, secrets, uuid, zlib

for name in sorted(hashlib.algorithms_guaranteed):
    if not name.startswith("shake"):
        print(name, hashlib.new(name, b"text").hexdigest())
print(hmac.new(b"key", b"text", "sha256").hexdigest(), hmac.compare_digest("a", "a"))
print(hashlib.scrypt(b"p", salt=b"s", n=16, r=1, p=1).hex(), hashlib.pbkdf2_hmac("sha1", b"p", b"s", 10).hex())
print(len(secrets.token_bytes()), uuid.uuid5(uuid.NAMESPACE_DNS, "example.com"), zlib.crc32(b"x"))
print(base64.b85encode(b"text"), binascii.hexlify(b"\x00\xff"))
