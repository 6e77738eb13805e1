import socket

print(socket.inet_aton("192.0.2.1"), socket.getservbyname("https"), socket.getprotobyname("tcp"))
print(socket.getaddrinfo("192.0.2.1", 80, type=socket.SOCK_STREAM), socket.gethostbyname("localhost"))
print(socket.inet_pton(socket.AF_INET6, "2001:db8::1"), socket.has_ipv6)
