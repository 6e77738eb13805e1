import os, select, selectors, socket

read, write = os.pipe()
print(select.select([read], [write], [], 0) == ([], [write], []))
os.write(write, b"x")
poll = select.poll()
poll.register(read, select.POLLIN)
print([event for _, event in poll.poll(1000)])
epoll = select.epoll()
epoll.register(read, select.EPOLLIN)
print([event for _, event in epoll.poll(1)])
left, right = socket.socketpair()
with selectors.DefaultSelector() as selector:
    selector.register(left, selectors.EVENT_READ, "left")
    right.sendall(b"hello")
    print([(key.data, mask) for key, mask in selector.select()], type(selector).__name__)
print(left.recv(100))
