# What the classic and the Cloud Native side of the buildpack share. Read by bash with `set -euo pipefail`.

fail() {
	echo " !     carpool: $1" >&2
	exit 1
}

say() { echo "-----> $1"; }

# setting DIR NAME prints a config variable. The platform hands them over as one file each.
setting() {
	if [ -f "$1/$2" ]; then
		cat "$1/$2"
	fi
}

# fetch VARIABLES CACHE TARGET APP puts the carpool binary into the file TARGET. VARIABLES is the directory of config
# variables, APP the app's own.
#
# CARPOOL_BINARY names a file on the building machine, such as one that an earlier buildpack has brought, or with a relative
# name one of the app; CARPOOL_DOWNLOAD_URL, which only counts together with CARPOOL_DOWNLOAD_SHA256, is where a release is: the
# binary itself, or a gzipped tar archive with a file called carpool in it. Without either, a binary packed into the buildpack
# is taken.
fetch() {
	local variables=$1 cache=$2 target=$3 app=$4 binary url sum
	binary=$(setting "$variables" CARPOOL_BINARY)
	url=$(setting "$variables" CARPOOL_DOWNLOAD_URL)
	sum=$(setting "$variables" CARPOOL_DOWNLOAD_SHA256 | tr '[:upper:]' '[:lower:]')
	mkdir -p "$(dirname "$target")"
	if [ -n "$binary" ]; then
		binary=${binary#file://}
		case $binary in /*) ;; *) binary=$app/$binary ;; esac
		[ -f "$binary" ] || fail "CARPOOL_BINARY names a file that isn't there."
		say "Copying the binary that CARPOOL_BINARY names"
		cp "$binary" "$target"
	elif [ -n "$url" ]; then
		[[ $sum =~ ^[0-9a-f]{64}$ ]] || fail "CARPOOL_DOWNLOAD_URL needs CARPOOL_DOWNLOAD_SHA256 beside it: the SHA-256 of the file, 64 hexadecimal digits."
		download "$url" "$sum" "$cache" "$target"
	elif [ -f "$buildpack/vendor/carpool" ]; then
		say "Copying the binary of the buildpack"
		cp "$buildpack/vendor/carpool" "$target"
	else
		fail "nowhere to take the binary from: set CARPOOL_DOWNLOAD_URL and CARPOOL_DOWNLOAD_SHA256, or CARPOOL_BINARY."
	fi
	chmod 755 "$target"
	"$target" --version >/dev/null 2>&1 || fail "the binary doesn't run on this stack ($(uname -s) $(uname -m))."
	say "Installed $("$target" --version)"
}

# download URL SUM CACHE TARGET. The cache is only good while the sum is the same.
download() {
	local url=$1 sum=$2 file=$3/carpool-$2 target=$4 member
	mkdir -p "$3"
	if [ -f "$file" ] && matches "$file" "$sum"; then
		say "Taking carpool from the cache"
	else
		rm -f "$3"/carpool-*
		say "Downloading carpool"
		# A URL may carry credentials, so it isn't shown.
		curl --fail --silent --show-error --location --retry 3 --max-time 300 --proto '=https,file' --proto-redir '=https' \
			--output "$file.part" "$url" || fail "the download didn't work (CARPOOL_DOWNLOAD_URL must be https:// or file://)."
		matches "$file.part" "$sum" || {
			rm -f "$file.part"
			fail "the download isn't the file that CARPOOL_DOWNLOAD_SHA256 promises."
		}
		mv "$file.part" "$file"
	fi
	# What it is shows in its first bytes, whatever the URL looks like.
	if [ "$(head -c 2 "$file" | od -An -tx1 | tr -d ' \n')" = 1f8b ]; then
		member=$(tar -tzf "$file" | grep -E '(^|/)carpool$' | head -n 1) || true
		[ -n "$member" ] || fail "there is no file called carpool in the archive."
		tar -xzOf "$file" "$member" >"$target"
	else
		cp "$file" "$target"
	fi
}

matches() {
	[ "$(sha256sum "$1" | cut -d ' ' -f 1)" = "$2" ]
}
