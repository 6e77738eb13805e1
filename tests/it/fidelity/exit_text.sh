exit not-a-number
