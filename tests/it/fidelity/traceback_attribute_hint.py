import collections

collections.orderedDict
