kill -s RTMIN+2 $$
