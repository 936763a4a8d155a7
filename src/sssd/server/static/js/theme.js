// Before anything is drawn: the colours that were chosen last time, else those of the system.
if (localStorage.getItem("theme")) document.documentElement.dataset.theme = localStorage.getItem("theme");
