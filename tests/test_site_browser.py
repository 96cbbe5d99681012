"""The website in Chromium, with the network cut: search, languages, directions, weight, and what axe-core finds.

Screenshots for a person to look at go to `build/shots/`, as `site-...png`.
"""

import json
import time

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.chromium import SHOTS, axe, start_chromium
from tools.pages import direction
from tools.settings import chapters, languages

PHONE, DESK = (390, 844), (1280, 1000)
TEMPLATES = ("index", "00_start", "glossary", "reference-kit")
OTHERS = ("install", "teachers", "teachers-05_trainer", "live", "reference", *chapters()[1:])
KILOBYTES = 300
PATIENCE = 90
WEIGHT = """
const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
return all.map(e => [e.name, e.transferSize, e.initiatorType]);
"""
FOUND = """
return [...document.querySelectorAll('.md-search-result__item')].map(
  item => [...item.querySelectorAll('a')].map(a => a.href));
"""
LAYOUT = """
const shown = node => node.getClientRects().length > 0;
const within = names => [...document.querySelectorAll(names)].filter(shown);
const say = node => [node.tagName, getComputedStyle(node).direction, node.innerText.slice(0, 40)];
const foreign = node => node.closest('body [lang=en], .output.html');
return {
  prose: within('article :is(h1, h2, h3, p, li), nav a:not([data-stay])').filter(node => !foreign(node)).map(say),
  code: within('article :is(code, pre)').map(say),
  wide: document.documentElement.scrollWidth - innerWidth,
};
"""


@pytest.fixture(scope="module")
def browser():
    driver = start_chromium(goog_loggingPrefs={"performance": "ALL", "browser": "ALL"})
    driver.set_page_load_timeout(PATIENCE)
    driver.set_script_timeout(PATIENCE)
    yield driver
    driver.quit()


def show(browser, url: str, size: tuple[int, int] = DESK, dark: bool = False) -> None:
    """Open a page at a size, in light or dark, without anything kept from before."""
    shape = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    still = {"name": "prefers-reduced-motion", "value": "reduce"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme, still]})
    browser.get(url)
    wait(browser, "return document.documentElement.classList.contains('js')")


def wait(browser, script: str, *arguments):
    """Until a script has something to say."""
    return WebDriverWait(browser, PATIENCE, poll_frequency=0.1).until(lambda d: d.execute_script(script, *arguments))


def keep(browser, name: str) -> None:
    """A screenshot for a person to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(str(SHOTS / f"site-{name}.png"))


def search(browser, words: str) -> list[list[str]]:
    """The pages that the search finds, each with its places."""
    query = browser.find_element(By.CSS_SELECTOR, ".md-search__input")
    browser.execute_script("document.getElementById('__search').checked = true; arguments[0].focus()", query)
    query.clear()
    query.send_keys(words)
    deadline = time.monotonic() + PATIENCE
    last, stable = None, 0
    while time.monotonic() < deadline:
        found = browser.execute_script(FOUND)
        stable = stable + 1 if found and found == last else 0
        if stable >= 5:
            return found
        last = found
        time.sleep(0.2)
    return last


QUERIES = [
    ("en", "fine-tuning", "glossary.html#fine-tuning"),
    ("en", "fine tuning", "glossary.html#fine-tuning"),
    ("ar", "كبسة", "02_tokenizer.html"),
    ("ar", "كبسه", "02_tokenizer.html"),
    ("ar", "الضبط", "glossary.html#fine-tuning"),
    ("ar", "الضَّبْط", "glossary.html#fine-tuning"),
    ("ar", "fine-tuning", "glossary.html#fine-tuning"),
    ("zh", "微调", "glossary.html#fine-tuning"),
    ("zh", "微調", "glossary.html#fine-tuning"),
    ("zh", "fine-tuning", "glossary.html#fine-tuning"),
    ("zh-Hant", "微調", "glossary.html#fine-tuning"),
    ("zh-Hant", "微调", "glossary.html#fine-tuning"),
    ("zh-Hant", "fine-tuning", "glossary.html#fine-tuning"),
]


@pytest.mark.parametrize("lang", languages())
def test_the_search_finds_the_page(browser, address, lang):
    for number, (_, words, expected) in enumerate(query for query in QUERIES if query[0] == lang):
        show(browser, f"{address}/{lang}/01_pipeline.html", PHONE if number % 2 else DESK)
        first = [place for item in search(browser, words)[:3] for place in item]
        assert any(f"/{lang}/{expected}" in place for place in first), (words, first)
        if number < 2:
            keep(browser, f"{lang}-search-{number}")


def test_a_word_of_another_language_is_found_in_that_language(browser, address):
    show(browser, f"{address}/en/index.html")
    found = search(browser, "الضبط الدقيق")
    assert f"{address}/ar/glossary.html" in found[0][0] or any("/ar/" in place for place in found[0])


def test_a_result_leads_to_its_place(browser, address):
    show(browser, f"{address}/zh-Hant/index.html")
    [first, *_] = search(browser, "微調")
    browser.get(first[1])
    page, _, anchor = first[1].partition("#")
    assert browser.execute_script("return document.getElementById(arguments[0]) !== null", anchor), first[1]


@pytest.mark.parametrize("lang", languages())
def test_pages_run_in_their_direction_and_fit_a_phone(browser, address, lang):
    for page in ("index", "00_start", "08_own_data", "glossary", "install"):
        show(browser, f"{address}/{lang}/{page}.html", PHONE)
        seen = browser.execute_script(LAYOUT)
        assert seen["wide"] <= 0, (page, seen["wide"])
        assert seen["prose"] or lang == "en"
        assert [one for one in seen["prose"] if one[1] != direction(lang)] == [], page
        assert [one for one in seen["code"] if one[1] != "ltr"] == [], page


def test_the_switch_of_language_stays_in_the_place(browser, address):
    show(browser, f"{address}/en/05_trainer.html#exercise-1")
    wait(browser, "return scrollY > 1000")
    link = browser.find_element(By.CSS_SELECTOR, "a[data-stay][hreflang=ar]")
    browser.execute_script("arguments[0].click()", link)
    wait(browser, "return location.pathname.startsWith('/ar/') && scrollY > 1000")
    assert browser.execute_script("return location.pathname + location.hash") == "/ar/05_trainer.html#exercise-1"
    top = browser.execute_script("return document.getElementById('exercise-1').getBoundingClientRect().top")
    assert -10 < top < 300
    browser.get(f"{address}/")
    wait(browser, "return location.pathname === '/ar/index.html'")


def test_a_link_into_what_is_folded_unfolds_it(browser, address):
    show(browser, f"{address}/en/00_start.html#install")
    assert wait(browser, "return document.querySelector('details.setup').open")


@pytest.mark.parametrize("lang", languages())
def test_the_first_view_is_light_and_asks_nobody_outside(browser, address, lang):
    for chapter in ("08_own_data", "04_model"):
        browser.execute_cdp_cmd("Network.enable", {})
        browser.execute_cdp_cmd("Network.clearBrowserCache", {})
        browser.get_log("performance")
        show(browser, f"{address}/{lang}/{chapter}.html", PHONE)
        wait(browser, "return performance.getEntriesByType('navigation')[0].loadEventEnd > 0")
        parts = browser.execute_script(WEIGHT)
        weight = sum(size for name, size, kind in parts if not name.endswith((".png", ".mp3")))
        assert 20_000 < weight <= KILOBYTES * 1000, parts
        sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        asked = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
        assert asked and [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.long
@pytest.mark.parametrize("lang", languages())
def test_the_first_view_takes_no_more_than_a_second(browser, address, lang):
    for chapter in ("00_start", "08_own_data"):
        times = []
        for _ in range(5):
            browser.execute_cdp_cmd("Network.clearBrowserCache", {})
            show(browser, f"{address}/{lang}/{chapter}.html")
            wait(browser, "return performance.getEntriesByType('navigation')[0].loadEventEnd > 0")
            times.append(browser.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd"))
        assert min(times) <= 1000, times


RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
AXE = """
const [rules, done] = arguments;
const told = node => node.target.join(' ') + ' ' + node.failureSummary.slice(0, 300);
axe.run(document, { resultTypes: ['violations'], runOnly: rules }).then(({ violations }) => done(
  violations.filter(({ impact }) => ['serious', 'critical'].includes(impact)).map(
    ({ id, nodes }) => [id, nodes.length, nodes.slice(0, 3).map(told)])));
"""


def problems(browser, url: str, size: tuple[int, int], dark: bool, name: str) -> list:
    """What axe-core finds serious in a page."""
    show(browser, url, size, dark)
    keep(browser, name)
    browser.execute_script(axe())
    return browser.execute_async_script(AXE, RULES)


@pytest.mark.parametrize("lang", languages())
def test_axe_finds_nothing_serious(browser, address, lang):
    found = {}
    for number, page in enumerate(TEMPLATES):
        size, dark = (PHONE, DESK)[(number + languages().index(lang)) % 2], number % 2 == 1
        name = f"{lang}-{page}-{'phone' if size == PHONE else 'desk'}-{'dark' if dark else 'light'}"
        if wrong := problems(browser, f"{address}/{lang}/{page}.html", size, dark, name):
            found[name] = wrong
    assert found == {}


@pytest.mark.long
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [PHONE, DESK])
@pytest.mark.parametrize("lang", languages())
def test_axe_finds_nothing_serious_anywhere(browser, address, lang, size, dark):
    found = {}
    for page in (*TEMPLATES, *OTHERS):
        name = f"{lang}-{page}-{'phone' if size == PHONE else 'desk'}-{'dark' if dark else 'light'}"
        if wrong := problems(browser, f"{address}/{lang}/{page}.html", size, dark, name):
            found[name] = wrong
    assert found == {}
