# shellcheck shell=bash disable=SC2016,SC2154
# What the tests need from the system, looked for by what it does, not by who installed it. Sourced by tests/run.
#
# As root on a system with apt-get, what is missing is installed; otherwise the exact command is printed and nothing is
# touched. Kafka comes as jars, once, into the cache.

cache=${QUITTANCE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/quittance}
kafka=$cache/kafka-4.1.0 # the same name as in tests/src/parts/kafka.rs

missing=() # Debian's names of what was looked for and not found

need_build() {
    command -v cargo >/dev/null || fail 'Rust is missing: install 1.95 or later with rustup'
    local program
    for program in git gcc g++ make pkg-config; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    pkg-config --exists openssl 2>/dev/null || missing+=(libssl-dev)
    pkg-config --exists zlib 2>/dev/null || missing+=(zlib1g-dev)
}

need_parts() {
    java_is_new || missing+=(default-jre-headless)
    [[ -d $kafka ]] || command -v mvn >/dev/null || missing+=(maven)
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
}

need_go() {
    command -v go >/dev/null || missing+=(golang-go golang-golang-x-mod-dev)
}

# Kafka 4 needs Java 17.
java_is_new() {
    local version
    version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p') || return 1
    [[ -n $version && $version -ge 17 ]]
}

install_missing() {
    [[ ${#missing[@]} -gt 0 ]] || return 0
    if ! command -v apt-get >/dev/null; then
        fail "missing (by their Debian names): ${missing[*]}; install them with your system's package manager and run again"
    fi
    [[ $(id -u) -eq 0 ]] || fail "missing; run this and then again: sudo apt-get install --no-install-recommends ${missing[*]}"
    run 'apt-get update' apt-get update -q || fail 'apt-get update failed'
    # RUNLEVEL keeps a package from starting a server of its own, which nobody here would stop.
    run "apt-get install ${missing[*]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${missing[@]}" || fail "apt-get could not install ${missing[*]}"
}

# Whole or not at all, and once, whoever else is fetching at the same time.
fetch_kafka() {
    [[ ! -d $kafka ]] || return 0
    mkdir -p "$cache"
    run 'fetch Kafka' flock "$cache/lock" bash -c '
        [[ ! -d $1 ]] || exit 0
        rm -rf -- "$1.part"
        mvn -q -B -f "$2" dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$1.part"
        mv -T -- "$1.part" "$1"' fetch "$kafka" "$root/tests/parts/kafka/pom.xml" || fail "Kafka's jars could not be fetched"
}
