def transform(row):
    return {key: value for key, value in row.items() if value}
