from flagstone import Option, Parser, usage


def test_usage_lists_the_options():
    parser = Parser(
        "fetch",
        [
            Option("retries", short="r", read=int, default=0, variable="RETRIES", help="how often to try again"),
            Option("colour", kind="flag", default=True),
            Option("verbose", short="v", kind="count"),
        ],
    )
    assert usage(parser).splitlines() == [
        "usage: fetch [options] [arguments]",
        "  -r, --retries RETRIES  how often to try again [default: 0] [variable: RETRIES]",
        "  --[no-]colour          [default: True]",
        "  -v, --verbose",
    ]
