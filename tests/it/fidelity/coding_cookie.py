# -*- coding: latin-1 -*-
print("the cookie counts: Ã©")
