import ssl

context = ssl.create_default_context()
print(context.verify_mode, context.check_hostname, context.minimum_version)
print(ssl.get_default_verify_paths())
context.load_default_certs()
print(len(context.get_ca_certs()) > 0, len(context.get_ciphers()) > 5, ssl.OPENSSL_VERSION)
try:
    context.load_verify_locations(cadata="not a certificate")
except ssl.SSLError as error:
    print(type(error).__name__)
