"""A person at a payload's form: types, presses buttons, saves; the page is read as a browser reads it."""

from profiles.forms import PayloadForm
from profiles.forms.posted import ROOT
from protocol.schema import packaged
from tests.profiles.forms.page import Page

CATALOGUE = packaged()


class Sitting:
    """One person at one form: press buttons, type, save. `content` is what is stored."""

    def __init__(self, variant, content=None, **given):
        self.variant, self.content, self.given = variant, content or {}, given
        self.kept = {}
        self.form = self._form()
        self.page = Page(str(self.form))

    def _form(self, data=None, files=None):
        def hold(value, file_name):
            self.kept[f"t{len(self.kept)}"] = value
            return f"t{len(self.kept) - 1}"

        facts = CATALOGUE.payloads[self.variant]
        return PayloadForm(
            facts,
            catalogue=CATALOGUE,
            content=self.content,
            data=data,
            files=files,
            hold=hold,
            held=self.kept.get,
            **self.given,
        )

    def type(self, where, value):
        self.page.type(f"{ROOT}/{where}", value)
        return self

    def press(self, operation):
        self.form = self._form(*self.page.post(press=operation))
        assert not self.form.is_valid()
        self.page = Page(str(self.form))
        return self

    def save(self):
        self.form = self._form(*self.page.post())
        self.valid = self.form.is_valid()
        self.page = Page(str(self.form))
        return self

    @property
    def said(self):
        return {problem.where: problem.sentence for problem in self.form.problems}
