#!/bin/sh
# Makes sure that what the arguments name is on this machine, and installs it with the system's package manager if not:
#
#   .ci/need.sh postgres     initdb and postgres
#   .ci/need.sh cc           a C compiler, which Go's race detector wants
#   .ci/need.sh pgbouncer    the pooler that carpool is measured against
#   .ci/need.sh psycopg      Python's drivers, for the lecture's program
#   .ci/need.sh bookstore    what the example applications are made with
#   .ci/need.sh drivers      Python's, Node.js's and Java's drivers and an exporter for Prometheus, which carpool is tried with
#   .ci/need.sh chromium     the browser that the tests look at a benchmark's page with
#
# Prints nothing when all is there. Otherwise one sentence tells what is about to be installed, or what to do when that
# can't be done here.
set -eu

fail() {
	echo "carpool: $1" >&2
	exit 1
}

# The same places, in the same spirit, as bench/pgserver's Find.
have_postgres() {
	for dir in $(echo "$PATH" | tr ':' ' ') "$(pg_config --bindir 2>/dev/null || true)" \
		/usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/libexec/postgresql* \
		/opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin \
		/home/linuxbrew/.linuxbrew/opt/postgresql*/bin /usr/local/pgsql/bin; do
		if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ]; then
			return 0
		fi
	done
	return 1
}

# The system's Python may have the drivers when the first one in PATH hasn't.
have_psycopg() {
	for python in python3 /usr/bin/python3; do
		if "$python" -c 'import psycopg2, psycopg2.pool, sqlalchemy' >/dev/null 2>&1; then
			return 0
		fi
	done
	return 1
}

have_bookstore() {
	python3=/usr/bin/python3
	[ -x "$python3" ] || python3=python3
	"$python3" -c 'import flask, flask_sqlalchemy, alembic, psycopg2, django' >/dev/null 2>&1 &&
		PATH="/usr/bin:$PATH" command -v gunicorn >/dev/null 2>&1
}

# The program for JDBC is compiled by the test, and npm installs what Node.js needs.
have_drivers() {
	python3=/usr/bin/python3
	[ -x "$python3" ] || python3=python3
	"$python3" -c 'import psycopg2, psycopg, sqlalchemy, sqlalchemy.ext.asyncio, greenlet, asyncpg, django, alembic' >/dev/null 2>&1 &&
		[ -e /usr/share/java/postgresql.jar ] && have_java && have_node && have_npm &&
		command -v prometheus-pgbouncer-exporter >/dev/null 2>&1
}

have_java() {
	java -version >/dev/null 2>&1 && javac -version >/dev/null 2>&1
}

have_node() {
	command -v node >/dev/null 2>&1
}

have_npm() {
	command -v npm >/dev/null 2>&1
}

have() {
	case $1 in
	postgres) have_postgres ;;
	cc) command -v "$(go env CC)" >/dev/null 2>&1 ;;
	pgbouncer) PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v pgbouncer >/dev/null 2>&1 ;;
	psycopg) have_psycopg ;;
	bookstore) have_bookstore ;;
	drivers) have_drivers ;;
	chromium) command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
		command -v google-chrome >/dev/null 2>&1 || [ -d "/Applications/Chromium.app" ] || [ -d "/Applications/Google Chrome.app" ] ;;
	*) fail "don't know what \"$1\" is" ;;
	esac
}

# packages MANAGER NEED prints the names of the packages.
packages() {
	case $1:$2 in
	apt-get:postgres) echo postgresql ;;
	apt-get:cc) echo gcc libc6-dev ;;
	dnf:postgres) echo postgresql-server postgresql-contrib ;;
	dnf:cc) echo gcc ;;
	apk:postgres) echo postgresql postgresql-contrib ;;
	apk:cc) echo gcc musl-dev ;;
	brew:postgres) echo postgresql@17 ;;
	brew:cc) fail "the race detector needs a C compiler: run \`xcode-select --install\` and try again." ;;
	*:pgbouncer) echo pgbouncer ;;
	apt-get:psycopg | dnf:psycopg) echo python3-psycopg2 python3-sqlalchemy ;;
	apk:psycopg) echo py3-psycopg2 py3-sqlalchemy ;;
	brew:psycopg) fail "the lecture's program needs psycopg2 and SQLAlchemy: run \`pip3 install psycopg2-binary sqlalchemy\` and try again." ;;
	apt-get:bookstore)
		echo python3-flask python3-flask-sqlalchemy python3-alembic python3-psycopg2 python3-django gunicorn ;;
	dnf:bookstore) echo python3-flask python3-flask-sqlalchemy python3-alembic python3-psycopg2 python3-django python3-gunicorn ;;
	apk:bookstore) echo py3-flask py3-flask-sqlalchemy py3-alembic py3-psycopg2 py3-django py3-gunicorn ;;
	brew:bookstore) fail "the examples need Flask, Django and gunicorn: run \`pip3 install -r deploy/examples/flask-books/requirements.txt -r deploy/examples/django-books/requirements.txt\` and try again." ;;
	apt-get:drivers)
		names="python3-psycopg2 python3-psycopg python3-sqlalchemy python3-greenlet python3-asyncpg python3-django python3-alembic"
		names="$names libpostgresql-jdbc-java prometheus-pgbouncer-exporter"
		have_java || names="$names default-jdk-headless"
		have_node || names="$names nodejs"
		# Some installations of Node.js have npm with them, and Debian's npm doesn't go together with those.
		have_npm || names="$names npm"
		echo "$names"
		;;
	*:drivers) fail "the drivers that carpool is tried with are packages of Debian's: python3-psycopg2, python3-psycopg, python3-sqlalchemy, python3-asyncpg, python3-django, python3-alembic, libpostgresql-jdbc-java, prometheus-pgbouncer-exporter; and a JDK, Node.js and npm. Please install the like, with the JDBC driver as /usr/share/java/postgresql.jar." ;;
	apt-get:chromium | dnf:chromium | apk:chromium | brew:chromium) echo chromium ;;
	esac
}

missing=
for need in "$@"; do
	have "$need" || missing="$missing $need"
done
[ -n "$missing" ] || exit 0

manager=
for candidate in apt-get dnf apk brew; do
	if command -v "$candidate" >/dev/null 2>&1; then
		manager=$candidate
		break
	fi
done
[ -n "$manager" ] || fail "this needs$missing, and none of apt-get, dnf, apk and brew is here to install it: please install it by hand."

wanted=
for need in $missing; do
	names=$(packages "$manager" "$need")
	wanted="$wanted $names"
done

sudo=
if [ "$manager" != brew ] && [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null 2>&1 ||
		fail "this needs the packages$wanted, and installing them takes root or sudo: please run \`$manager install$wanted\` as root."
	sudo=sudo
fi
echo "carpool: this needs$missing, which isn't here yet, so the packages$wanted are now being installed with $manager." >&2

# Debian's server package makes and starts a database of its own on port 5432, and other packages start what they bring as a
# service, which nobody asked for here. Two files forbid it, and go away again afterwards.
cluster_rules=/etc/postgresql-common/createcluster.d
service_rules=/usr/sbin/policy-rc.d
made_service_rules=

allow_again() {
	$sudo rm -f "$cluster_rules/carpool.conf"
	$sudo rmdir "$cluster_rules" 2>/dev/null || true
	[ -z "$made_service_rules" ] || $sudo rm -f "$service_rules"
}

install_apt() {
	apt="$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0"
	$apt update || return 1
	trap allow_again EXIT
	if [ ! -e "$service_rules" ]; then
		made_service_rules=yes
		printf '#!/bin/sh\nexit 101\n' | $sudo tee "$service_rules" >/dev/null
		$sudo chmod 755 "$service_rules"
	fi
	case " $wanted " in
	*" postgresql "*)
		$apt install --no-install-recommends postgresql-common || return 1
		$sudo mkdir -p "$cluster_rules"
		echo "create_main_cluster = false" | $sudo tee "$cluster_rules/carpool.conf" >/dev/null
		;;
	esac
	# shellcheck disable=SC2086 # a list of names
	$apt install --no-install-recommends $wanted
}

log=$(mktemp)
# shellcheck disable=SC2086 # a list of names
case $manager in
apt-get) install_apt ;;
dnf) $sudo dnf -q -y install $wanted ;;
apk) $sudo apk add --no-cache $wanted ;;
brew) brew install $wanted ;;
esac >"$log" 2>&1 </dev/null || {
	tail -n 20 "$log" >&2
	rm -f "$log"
	fail "$manager couldn't install$wanted (its last words are above): please install$missing by hand."
}
rm -f "$log"

for need in $missing; do
	have "$need" || fail "$manager installed$wanted, but there is still no $need where it is looked for."
done
