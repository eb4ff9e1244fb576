"""A headless Chromium with the page of a server."""

import base64
import json
import os
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

# Longest time for an answer, in seconds.
LONGEST = 20

# Nothing is downloaded, and nobody is told.
os.environ |= {"SE_OFFLINE": "true", "SE_AVOID_STATS": "true"}

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Browser:
    """The browser. Its profile is new, and removed in the end."""

    def __init__(self):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for argument in (*ARGUMENTS, f"--user-data-dir={self.profile.name}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService("/usr/bin/chromedriver")
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_page_load_timeout(LONGEST)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()
        self.profile.cleanup()

    def open(self, address: str) -> None:
        """Opens the page, and waits for the list of models."""
        self.driver.get(address)
        self.until(lambda: self.find("#version").text != "")

    def until(self, condition) -> None:
        """Waits for a condition."""
        WebDriverWait(self.driver, LONGEST, poll_frequency=0.05).until(lambda _: condition())

    def find(self, selector: str):
        """The element of a selector."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list:
        """All elements of a selector."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """The text of an element as it is in the document."""
        return self.find(selector).get_property("textContent")

    def choose(self, model: str) -> None:
        """Selects a model."""
        Select(self.find("#model")).select_by_visible_text(model)

    def labeled(self, label: str):
        """The field with a label: the label's text begins with it."""
        for element in self.all("label"):
            if element.text.startswith(label):
                return self.find("#" + element.get_attribute("for"))
        raise LookupError(f"no field has the label {label}")

    def predict(self) -> None:
        """Presses the button, and waits for the answer or the problem."""
        self.find("#predict").click()
        self.until_answered()

    def until_answered(self) -> None:
        """Waits for the end of a request."""
        self.until(lambda: self.find("#predict").text == "Predict")

    def type(self, *keys: str) -> None:
        """Types keys into the focused element, as people without a mouse do."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def tab(self) -> str:
        """Goes to the next element with the keyboard; gives its ID."""
        self.driver.switch_to.active_element.send_keys(Keys.TAB)
        return self.driver.switch_to.active_element.get_attribute("id")

    def complaints(self) -> list[str]:
        """What was written to the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def addresses(self) -> list[str]:
        """The addresses that pages have requested since the last call, without those of Chromium's own pages."""
        messages = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        sent = (message["params"] for message in messages if message["method"] == "Network.requestWillBeSent")
        return [one["request"]["url"] for one in sent if not one["documentURL"].startswith("chrome:")]

    def screenshots(self, folder: Path, name: str) -> None:
        """Screenshots of the whole page, wide and narrow, light and dark."""
        for width, kind in ((1280, "desktop"), (390, "phone")):
            metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": kind == "phone"}
            self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            for scheme in ("light", "dark"):
                features = [{"name": "prefers-color-scheme", "value": scheme}]
                self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
                overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
                assert self.driver.execute_script(overflow) <= 0, f"{name} is wider than {width} pixels"
                self.driver.execute_cdp_cmd("Page.bringToFront", {})
                height = self.driver.execute_script("return document.documentElement.scrollHeight")
                clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
                shot = {"format": "png", "captureBeyondViewport": True, "clip": clip}
                data = self.driver.execute_cdp_cmd("Page.captureScreenshot", shot)["data"]
                (folder / f"{name}-{kind}-{scheme}.png").write_bytes(base64.b64decode(data))
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


TAB, ENTER = Keys.TAB, Keys.ENTER
