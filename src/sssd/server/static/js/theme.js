// This runs before anything is drawn: use the colours that were chosen last time, or else those of the system.
if (localStorage.getItem("theme")) document.documentElement.dataset.theme = localStorage.getItem("theme");
