# Installs the course from this folder, on Windows, without internet:
#   powershell -ExecutionPolicy Bypass -File install.ps1 [-Lang en|ar|zh|zh-Hant] [-Folder FOLDER]
# FOLDER is ftcourse in the home folder where none is named. The same command begins anew what broke off.
param([string]$Lang = "", [string]$Folder = "$HOME\ftcourse")
$version = "@PYTHON@"
$needMb = @NEED@
$files = @FILES@
[Console]::OutputEncoding = [Text.Encoding]::UTF8
if (-not $Lang) {
    $Lang = switch -Regex ((Get-UICulture).Name) {
        "^ar" { "ar"; break }
        "^zh-(TW|HK|MO|Hant)" { "zh-Hant"; break }
        "^zh" { "zh"; break }
        default { "en" }
    }
}
if (@("en", "ar", "zh", "zh-Hant") -notcontains $Lang) { Write-Host "-Lang en|ar|zh|zh-Hant"; exit 2 }
Set-Location -LiteralPath $PSScriptRoot

function Say([string]$Key, [string]$Value = "") {
    $start = "$Lang.$Key="
    $line = Get-Content -LiteralPath "words.txt" -Encoding UTF8 | Where-Object { $_.StartsWith($start) } | Select-Object -First 1
    if (-not $line) { $line = "$start$Key {}" }
    $text = $line.Substring($start.Length)
    $from = $text.IndexOf("{")
    if ($from -ge 0) { $text = $text.Substring(0, $from) + $Value + $text.Substring($text.IndexOf("}") + 1) }
    Write-Host $text
}
function Fail([string]$Key, [string]$Value = "") { Say $Key $Value; exit 1 }

if (-not [Environment]::Is64BitOperatingSystem) { Fail "system" "windows" }

Say "check" $files
if (-not (Test-Path "SHA256SUMS")) { Fail "no_sums" }
$good = 0
foreach ($line in Get-Content -LiteralPath "SHA256SUMS" -Encoding UTF8) {
    if ($line.Length -lt 67) { continue }
    $file = $line.Substring(66)
    if (-not (Test-Path -LiteralPath $file)) { Fail "broken" $file }
    if ((Get-FileHash -LiteralPath $file -Algorithm SHA256).Hash -ne $line.Substring(0, 64)) { Fail "broken" $file }
    $good += 1
}
if ($good -lt $files) { Fail "no_sums" }

$python = $null
foreach ($command in @(@("py", "-$version"), @("python"), @("python3"))) {
    if (-not (Get-Command $command[0] -ErrorAction SilentlyContinue)) { continue }
    $more = @($command | Select-Object -Skip 1)
    $found = & $command[0] @more -c "import sys, struct; print('%d.%d' % sys.version_info[:2], struct.calcsize('P') * 8)"
    if ("$found".Trim() -eq "$version 64") { $python = $command[0]; break }
}
if (-not $python) { Fail "no_python" $version }

New-Item -ItemType Directory -Force -Path $Folder -ErrorAction SilentlyContinue | Out-Null
if (-not (Test-Path -LiteralPath $Folder)) { Fail "not_writable" $Folder }
$Folder = (Resolve-Path -LiteralPath $Folder).ProviderPath
$bin = "$Folder\.venv\Scripts"
if (-not (Test-Path -LiteralPath "$bin\ftcourse.exe")) {
    $disk = New-Object IO.DriveInfo ([IO.Path]::GetPathRoot($Folder))
    if ($disk.AvailableFreeSpace / 1e6 -lt $needMb) { Fail "no_room" $needMb }
}
# pip takes a package for installed that it had only begun
$begun = "$Folder\.venv\ftcourse-begun"
$clear = @(if (Test-Path -LiteralPath $begun) { "--clear" })
& $python @more -m venv @clear "$Folder\.venv"
if ($LASTEXITCODE) { Fail "not_writable" $Folder }
New-Item -ItemType File -Force -Path $begun | Out-Null

Say "libraries"
& "$bin\python.exe" -m pip --isolated install --quiet --disable-pip-version-check --upgrade --no-index --find-links wheels "ftcourse[lab]"
if ($LASTEXITCODE) { Fail "failed" }
Remove-Item -LiteralPath $begun

foreach ($model in @(Get-ChildItem -Directory -Path "models" -ErrorAction SilentlyContinue)) {
    $cache = & "$bin\python.exe" -X utf8 -c "from ftcourse.engine.fetch import cache_folder; print(cache_folder())"
    if ($LASTEXITCODE) { Fail "failed" }
    $target = Join-Path $cache $model.Name
    if (Test-Path -LiteralPath $target) { continue }
    Say "model" $model.Name
    New-Item -ItemType Directory -Force -Path $cache | Out-Null
    if (Test-Path -LiteralPath "$target.part") { Remove-Item -Recurse -Force -LiteralPath "$target.part" }
    Copy-Item -Recurse -LiteralPath $model.FullName -Destination "$target.part"
    if (-not $?) { Fail "not_writable" $cache }
    Rename-Item -LiteralPath "$target.part" -NewName $model.Name
}

& "$bin\ftcourse.exe" doctor --lang $Lang
if ($LASTEXITCODE) { Fail "failed" }
Say "done"
Write-Host "    cd `"$Folder`""
Write-Host "    .venv\Scripts\ftcourse lab --lang $Lang"
if (Test-Path "site") {
    Say "site"
    Write-Host "    & `"$bin\ftcourse.exe`" site --folder `"$PSScriptRoot\site`" --host 0.0.0.0 --lang $Lang"
}
