from django.http import JsonResponse
from django.shortcuts import redirect, render

from .models import Entry


def index(request):
    if request.method == "POST":
        Entry.objects.create(text=request.POST["text"])
        return redirect("/")
    return render(request, "guestbook.html", {"entries": Entry.objects.order_by("-id")[:20]})


def health(request):
    Entry.objects.exists()  # the database answers
    return JsonResponse({"health": "ok"})
