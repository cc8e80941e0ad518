"""A32: keys chosen so that tables degrade. What is keyed by others' choice is ordered, or hashed under a secret."""

TITLE = "hash flooding: keys that hash alike cost no more than others"
CI, FULL = "2,000 keys", "20,000 keys"


def run(row):
    row.gtest("tests/unit/base/base_test", "Yaml.KeysThatHashAlike*")
