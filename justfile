# The verbs of this repository; what they do is in tools/verb, which works without `just`.

# Lists the verbs
default:
    @just --list --unsorted

# Format, norms, lints, every test that needs no broker
quick:
    tools/verb quick

# Every test; installs what it needs
test *arguments:
    tools/verb test {{arguments}}

# The tests against real brokers and clients
brokers *arguments:
    tools/verb brokers {{arguments}}

# Each fuzz target for so many seconds
fuzz seconds="30":
    tools/verb fuzz {{seconds}}

# The figures of the README
bench *arguments:
    tools/verb bench {{arguments}}

# The results of bench into tables and chart of the documents
figures:
    tools/verb figures

# Instruction counts of hot paths against those that are recorded
bench-check *arguments:
    tools/verb bench-check {{arguments}}

# Documentation without a warning
docs *arguments:
    tools/verb docs {{arguments}}

# Lengths, nesting, import rings, documentation, words
norms *arguments:
    tools/verb norms {{arguments}}

# The table of norms, and the dependencies of the command
shape:
    tools/verb shape

# The README's worker and server, built outside the workspace on siokit alone
front-door:
    tools/verb front-door

# The published crates as archives; nothing is uploaded
package *arguments:
    tools/verb package {{arguments}}

# What the workflow checks besides: packages, the oldest Rust, each feature, lowest versions, licences, spelling
release:
    tools/verb release

# The picture of the page in the README, anew
screenshot:
    tools/verb screenshot

# The binary built for release, man pages, completions
dist:
    tools/verb dist

# A Debian package of them
deb:
    tools/verb deb
