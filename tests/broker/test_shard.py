async def test_open(store, raw):
    assert store.id
