// A file dropped on the form is the file chosen in it; without this script the button does the same.
const form = document.querySelector(".provisioning-drop");
const input = form?.querySelector("input[type=file]");
if (input) {
  for (const name of ["dragenter", "dragover"]) {
    form.addEventListener(name, (event) => {
      event.preventDefault();
      form.classList.add("provisioning-over");
    });
  }
  form.addEventListener("dragleave", () => form.classList.remove("provisioning-over"));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("provisioning-over");
    if (event.dataTransfer.files.length === 1) input.files = event.dataTransfer.files;
  });
}
