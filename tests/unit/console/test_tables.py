from broker.console.tables import Sorting


def sorting(text: str) -> Sorting:
    return Sorting.read(text, "/list", {"name", "used"}, "name", q="a b")


def test_a_column_sorts_and_turns_around() -> None:
    by_name = sorting("")
    assert (by_name.key, by_name.descending) == ("name", False)
    assert by_name.link("used") == "/list?q=a+b&sort=used"
    assert by_name.link("name") == "/list?q=a+b&sort=-name"
    assert sorting("-name").link("name") == "/list?q=a+b&sort=name"


def test_an_unknown_order_is_the_default() -> None:
    assert sorting("password") == sorting("--name") == sorting("name")


def test_rows_without_a_value_come_last_either_way() -> None:
    rows = [("b", 2), ("a", None), ("c", 1)]
    by = {"name": lambda row: row[0], "used": lambda row: row[1]}
    assert sorting("used").order(rows, by) == [("c", 1), ("b", 2), ("a", None)]
    assert sorting("-used").order(rows, by) == [("b", 2), ("c", 1), ("a", None)]
    assert sorting("name").order(rows, by) == [("a", None), ("b", 2), ("c", 1)]
