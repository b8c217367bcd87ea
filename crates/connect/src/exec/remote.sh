# Starts a step once for its key, or finds out what became of it, and follows it: frames on standard output.
# B: it is known here. O n, E n: n bytes of its output follow. X code: it ended. T: its time was over.
# N: it never ran and never will. U reason: it may have run. Everything below is POSIX sh.
k=$1 mode=$2 t=$3 g=$4 shell=$5 o=$6 e=$7 n=$8 mark=$9
umask 077
root=$HOME/.bellwether/steps
d=$root/$k
mkdir -p "$root" || exit 97
if [ "$mode" = stop ]; then
  read -r p start <"$d/pid" && echo stopped >"$d/cause" && kill -TERM "-$p" && sleep "$g" && kill -KILL "-$p"
  exit 0
fi
if [ "$mode" = forget ]; then
  [ -e "$d/end" ] && rm -f "$d/out" "$d/err" "$d/script"
  exit 0
fi
env=
if [ "$mode" = run ]; then
  while IFS= read -r line && [ "$line" != "$mark" ]; do env="$env$line
"; done
fi
if [ "$mode" = run ] && mkdir "$d" 2>/dev/null; then
  find "$root" -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {} + 2>/dev/null
  cat >"$d/script"
  size=$(wc -c <"$d/script")
  if [ "$((size))" != "$n" ]; then
    echo N >"$d/end"
  else
    : >"$d/out"; : >"$d/err"
    (
      trap "" HUP PIPE
      eval "$env"
      cd "$HOME" || cd /
      setsid $shell "$d/script" >"$d/out" 2>"$d/err" </dev/null &
      c=$!
      echo "$c $(cut -d" " -f22 "/proc/$c/stat" 2>/dev/null)" >"$d/pid.new" && mv "$d/pid.new" "$d/pid"
      setsid sh -c "sleep $t; echo T >\"\$0/cause\"; kill -TERM -$c; sleep $g; kill -KILL -$c" "$d" &
      w=$!
      wait $c; r=$?
      kill -KILL "-$w" || kill -KILL "$w"
      if [ "$(cat "$d/cause" 2>/dev/null)" = T ]; then r=T; kill -KILL "-$c"; fi
      case $r in T) echo T ;; *) echo "X $r" ;; esac >"$d/end.new"
      mv "$d/end.new" "$d/end"
    ) >/dev/null 2>&1 </dev/null &
  fi
elif [ ! -d "$d" ] && mkdir "$d" 2>/dev/null; then
  echo N >"$d/end"
fi
echo B
give() { # name, letter, offset: prints what is new, at most 256 KiB, and sets `at`
  at=$3
  [ -e "$d/$1" ] || return 0
  size=$(wc -c <"$d/$1"); m=$((size - at))
  [ "$m" -gt 262144 ] && m=262144 && more=1
  [ "$m" -gt 0 ] || return 0
  echo "$2 $m"
  tail -c "+$((at + 1))" "$d/$1" | head -c "$m"
  at=$((at + m))
}
quiet=0
while :; do
  more= end=
  [ -e "$d/end" ] && end=$(cat "$d/end")
  give out O "$o"; o=$at
  give err E "$e"; e=$at
  [ -n "$more" ] && continue
  [ -n "$end" ] && { echo "$end"; exit 0; }
  if [ "$((o + e))" -gt 268435456 ] && read -r p start <"$d/pid"; then kill -KILL "-$p"; fi
  p= start= now=
  if [ -e "$d/pid" ]; then
    read -r p start <"$d/pid"
    now=$(cut -d" " -f22 "/proc/$p/stat" 2>/dev/null)
  fi
  if [ -n "$p" ] && { [ -z "$start" ] || [ "$now" = "$start" ]; }; then quiet=0; else quiet=$((quiet + 1)); fi
  [ "$quiet" -gt 50 ] && { echo "U nobody there knows how it ended: its host was restarted or its shell was killed"; exit 0; }
  echo P
  sleep 0.1 || sleep 1
done
