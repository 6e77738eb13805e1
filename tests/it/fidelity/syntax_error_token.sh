echo a
)
