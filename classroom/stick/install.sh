#!/bin/sh
# Installs the course from this folder, on @SYSTEM@, without internet: sh install.sh [--lang en|ar|zh|zh-Hant] [FOLDER]
# FOLDER is ftcourse in the home folder where none is named. The same command begins anew what broke off.
set -u
version=@PYTHON@ need_mb=@NEED@ files=@FILES@ system=@SYSTEM@
usage="sh install.sh [--lang en|ar|zh|zh-Hant] [FOLDER]"

case ${FTCOURSE_LANG:-${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}} in
ar*) lang=ar ;;
zh_TW* | zh_HK* | zh_MO* | zh-Hant*) lang=zh-Hant ;;
zh*) lang=zh ;;
*) lang=en ;;
esac
folder=$HOME/ftcourse
while [ $# -gt 0 ]; do
    case $1 in
    --lang=*) lang=${1#--lang=} ;;
    --lang) lang=${2-} && shift ;;
    -*) echo "$usage" && exit 2 ;;
    *) folder=$1 ;;
    esac
    shift || exit 2
done
case $lang in en | ar | zh | zh-Hant) ;; *) echo "$usage" && exit 2 ;; esac
case $folder in /*) ;; *) folder=$PWD/$folder ;; esac
cd "$(dirname "$0")" || exit 1
here=$PWD

say() { # a message in the learner's language; $2 fills its gap
    text=$(sed -n "s/^$lang\.$1=//p" words.txt)
    case ${text:=$1 {}} in *{*) text="${text%%\{*}${2-}${text#*\}}" ;; esac
    printf '%s\n' "$text"
}
fail() {
    say "$@" >&2
    exit 1
}

case $system-$(uname -s)-$(uname -m) in
linux-Linux-x86_64 | macos-Darwin-arm64) ;;
*) fail system "$system" ;;
esac

say check "$files"
if command -v sha256sum >/dev/null; then sum=sha256sum; else sum="shasum -a 256"; fi
[ -s SHA256SUMS ] || fail no_sums
checked=$(LC_ALL=C $sum -c SHA256SUMS 2>/dev/null)
bad=$(printf '%s\n' "$checked" | grep -v ': OK$' | sed -n '1s/: FAILED.*//p')
[ -z "$bad" ] || fail broken "$bad"
[ "$(printf '%s\n' "$checked" | grep -c ': OK$')" -ge "$files" ] || fail no_sums

for python in "${PYTHON:-}" "python$version" python3 python ""; do
    [ "$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$version" ] && break
done
[ -n "$python" ] || fail no_python "$version"

mkdir -p "$folder" 2>/dev/null && [ -w "$folder" ] || fail not_writable "$folder"
env=$folder/.venv
if [ ! -x "$env/bin/ftcourse" ]; then
    free_mb=$(df -Pk "$folder" | awk 'NR == 2 { print int($4 / 1024 * 1.048576) }')
    [ "$free_mb" -ge "$need_mb" ] || fail no_room "$need_mb"
fi
begun=$env/ftcourse-begun clear=
[ ! -e "$begun" ] || clear=--clear # pip takes a package for installed that it had only begun
"$python" -m venv $clear "$env" && : >"$begun" || fail no_venv "python$version-venv"

say libraries
"$env/bin/python" -m pip --isolated install --quiet --disable-pip-version-check --upgrade \
    --no-index --find-links wheels "ftcourse[lab]" &
pip=$!
trap 'kill $pip 2>/dev/null; exit 130' INT TERM HUP # in the background, pip itself does not heed Ctrl-C
if [ -t 1 ]; then
    total=$(ls wheels | wc -l)
    while kill -0 $pip 2>/dev/null; do
        printf '\r%s / %s ' "$(find "$env"/lib/python*/site-packages -maxdepth 1 -name '*.dist-info' | wc -l)" "$total"
        sleep 1
    done
    printf '\r'
fi
wait $pip || fail failed
trap - INT TERM HUP
rm -f "$begun"

for model in models/*/; do
    [ -d "$model" ] || continue
    name=$(basename "$model")
    cache=$("$env/bin/python" -c 'from ftcourse.engine.fetch import cache_folder; print(cache_folder())') || fail failed
    [ ! -d "$cache/$name" ] || continue
    say model "$name"
    rm -rf "$cache/.$name.part"
    mkdir -p "$cache" && cp -R "$model" "$cache/.$name.part" && mv "$cache/.$name.part" "$cache/$name" || fail not_writable "$cache"
done

"$env/bin/ftcourse" doctor --lang "$lang" || fail failed
say "done"
printf '    cd "%s"\n    .venv/bin/ftcourse lab --lang %s\n' "$folder" "$lang"
if [ -d site ]; then
    say site
    printf '    "%s" site --folder "%s" --host 0.0.0.0 --lang %s\n' "$env/bin/ftcourse" "$here/site" "$lang"
fi
