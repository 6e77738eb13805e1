printf '\x00\x01\xfe\xff\r\n\x1b[31mred\x1b[0m no newline at the end'
