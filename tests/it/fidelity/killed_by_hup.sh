kill -HUP $$
